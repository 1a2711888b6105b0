package main

import "time"

// topicNotices is asked without payload and answered by notices as JSON, the first of
// which is noticeListening, until whoever asks or the daemon ends.
const topicNotices = "notices"

// What a notice tells of.
const (
	noticeListening = "listening" // what follows is told
	noticeBegan     = "began"     // an operation, such as a deploy
	noticeSwitched  = "switched"  // a new release has the work
	noticeLeft      = "left"      // the workers of the release before
	noticeDone      = "done"      // an operation other than a deploy
	noticeFailed    = "failed"    // an operation
	noticeDied      = "died"      // a worker that was not asked to
	noticeStopping  = "stopping"  // the daemon drains
)

// A notice is something that became of a daemon's apps.
type notice struct {
	Time   time.Time `json:"time"`
	App    string    `json:"app,omitempty"` // of several
	Kind   string    `json:"kind"`
	Text   string    `json:"text"`
	Missed uint64    `json:"missed,omitempty"` // notices before it that were not read in time
}
