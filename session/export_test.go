package session

// ReceiverOf makes a Receiver of Callbacks, as Dial does.
func ReceiverOf(cb Callbacks, link Link) Receiver { return &callbackReceiver{cb: cb, link: link} }
