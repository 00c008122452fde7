package ssh

import (
	"bytes"
	"strings"
)

// sudo never asks (-n). The locale is for what it says when it refuses, which
// is told from what the command says by its words.
const sudo = "env LC_ALL=C sudo -n -- "

// rootLine makes a quoted command root's. It replaces the shell that sshd runs
// it by, so that how it ends is seen as it was.
func (c *Client) rootLine(line string) string {
	if c.target.Sudo {
		return "exec " + sudo + line
	}
	return "exec " + line
}

// sudoError finds out whether it was sudo that failed, rather than the command.
func sudoError(user string, code int, stderr []byte) error {
	line := strings.TrimSpace(string(stderr))
	if at := bytes.LastIndexByte([]byte(line), '\n'); at >= 0 {
		line = line[at+1:]
	}
	switch {
	case code == 1 && strings.HasPrefix(line, "sudo: ") && (strings.Contains(line, "password is required") ||
		strings.Contains(line, "must have a tty") || strings.Contains(line, "required to run sudo")):
	case code == 1 && strings.HasPrefix(line, "Sorry, user ") && strings.Contains(line, "sudo"):
	case code == 1 && strings.Contains(line, " is not in the sudoers file"):
	case code == 1 && strings.HasPrefix(line, "Sorry, user ") && strings.Contains(line, "is not allowed to execute"):
	case code == 127 && strings.Contains(line, "sudo") && !strings.HasPrefix(line, "sudo: "):
	default:
		return nil
	}
	return &SudoError{User: user, Said: line}
}
