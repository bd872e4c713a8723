package wire

// A List is a page of a list. Items is never null; NextCursor is null on the last page.
type List[T any] struct {
	Items      []T     `json:"items" nullable:"false"`
	NextCursor *string `json:"next_cursor" doc:"give it as cursor to read on; null on the last page"`
}

// ListOf returns a page with each item as view shows it.
func ListOf[F, T any](items []F, next string, view func(F) T) List[T] {
	list := List[T]{Items: make([]T, 0, len(items))}
	for _, item := range items {
		list.Items = append(list.Items, view(item))
	}
	if next != "" {
		list.NextCursor = &next
	}
	return list
}
