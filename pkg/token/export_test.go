package token

// TakeTurnForTest takes a turn as a hash does and returns what gives it back.
func (p *Passwords) TakeTurnForTest() (giveBack func()) {
	p.turns <- struct{}{}
	return p.release
}
