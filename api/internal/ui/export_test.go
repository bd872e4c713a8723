package ui

// Tree is tree, for its fuzz test.
func Tree(data []byte) (int, error) {
	fields, err := tree(data)
	return len(fields), err
}
