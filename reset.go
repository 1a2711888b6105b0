package heddle

// Reset gives the value that an absent field has, and keeps the room of its slices for the next decode.
// Every type that is decoded more than once has it.

// Reset prepares f for another decode.
func (f *FrameV0) Reset() { *f = FrameV0{} }

// Reset prepares f for another decode.
func (f *FrameV1) Reset() { *f = FrameV1{} }

// Reset prepares h for another decode.
func (h *Handshake) Reset() { h.UUID = nil; h.Offer.Reset() }

// Reset prepares o for another decode.
func (o *Offer) Reset() { *o = Offer{Features: o.Features[:0]} }

// Reset prepares t for another decode.
func (t *Terminate) Reset() { *t = Terminate{} }

// Reset prepares i for another decode: Window becomes -1, absent.
func (i *Invoke) Reset() { *i = Invoke{Window: -1} }

// Reset prepares c for another decode.
func (c *Chunk) Reset() { c.Data = nil }

// Reset prepares e for another decode.
func (e *ErrorV0) Reset() { *e = ErrorV0{} }

// Reset prepares e for another decode.
func (e *ErrorCode) Reset() { *e = ErrorCode{} }

// Reset prepares e for another decode.
func (e *ErrorV1) Reset() { *e = ErrorV1{} }

// Reset does nothing.
func (e *Empty) Reset() {}

// Reset prepares w for another decode.
func (w *Window) Reset() { w.Bytes = 0 }

// Reset prepares f for another decode.
func (f *Files) Reset() { f.Count = 0 }

// Reset prepares d for another decode.
func (d *Drain) Reset() { d.Deadline = 0 }

// Reset prepares r for another decode: Index becomes -1, absent.
func (r *Resume) Reset() { *r = Resume{Index: -1} }

// Reset prepares r for another decode.
func (r *Reason) Reset() { r.Reason = nil }

// Reset prepares w for another decode.
func (w *Welcome) Reset() { w.Welcome.Reset() }

// Reset prepares w for another decode.
func (w *WelcomeInfo) Reset() {
	*w = WelcomeInfo{Features: w.Features[:0], Endpoints: w.Endpoints[:0]}
}

// Reset prepares h for another decode: Extra.ContentLength becomes -1, unknown.
func (h *RequestHead) Reset() {
	h.Method, h.URI, h.Version, h.Body = nil, nil, nil, nil
	h.Headers = h.Headers[:0]
	h.Extra.Reset()
}

// Reset prepares x for another decode: ContentLength becomes -1, unknown.
func (x *RequestExtra) Reset() {
	*x = RequestExtra{ContentLength: -1, TransferEncoding: x.TransferEncoding[:0], Trailer: x.Trailer[:0]}
}

// Reset prepares t for another decode.
func (t *TLSInfo) Reset() { *t = TLSInfo{} }

// Reset prepares h for another decode.
func (h *ResponseHead) Reset() { h.Code, h.Headers, h.Made = 0, h.Headers[:0], 0 }

// Reset prepares i for another decode.
func (i *Info) Reset() { i.Code = 0; i.Headers = i.Headers[:0] }

// Reset prepares t for another decode.
func (t *Trailers) Reset() { t.Headers = t.Headers[:0] }
