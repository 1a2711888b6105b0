package session

// ReceiverOf makes a Receiver of Callbacks, as Dial does.
func ReceiverOf(cb Callbacks, link Link) Receiver { return &callbackReceiver{cb: cb, link: link} }

// Claim and Unclaim are claim and unclaim.
func (m *Mux) Claim(n int) bool { return m.claim(n) }
func (m *Mux) Unclaim(n int)    { m.unclaim(n) }
