package actions

// Early says that the agent may be sent before the cluster's lock is held: its
// path is named by its content and nothing runs it yet. The lock itself is kept
// by it.
func (UploadAgent) Early() bool { return true }
