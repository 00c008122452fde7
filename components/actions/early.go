package actions

// Early says that the agent may be sent before the cluster's lock is held: its
// path is named by its content and nothing runs it yet. The lock itself is kept
// by it.
func (UploadAgent) Early() bool { return true }

// Interruptible says that the agent may be sent in part: it is sent again then.
func (UploadAgent) Interruptible() bool { return true }

// Interruptible says that a bundle may be sent in part: what arrived whole is
// not sent again.
func (Unpack) Interruptible() bool { return true }

// Interruptible says that nothing is lost by not waiting.
func (WaitAPI) Interruptible() bool { return true }
