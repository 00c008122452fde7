package unpack

import (
	"fmt"
	"io"
	"time"
)

// idle is how long nothing may come. A sender whose computer vanished closes no
// connection: sshd would hold it for hours, and we the lock that the next call
// waits for. The sender itself gives a silent connection up sooner.
const idle = time.Minute

// flowing is a stream that counts as torn when nothing comes of it for a time.
func flowing(stream io.Reader, idle time.Duration) io.Reader {
	read, write := io.Pipe()
	go func() { // ends with the stream, or with the process
		block := make([]byte, 256<<10)
		for {
			watch := time.AfterFunc(idle, func() {
				write.CloseWithError(fmt.Errorf("nothing came for %s: %w", idle, io.ErrUnexpectedEOF))
			})
			n, err := stream.Read(block)
			watch.Stop()
			if _, err := write.Write(block[:n]); err != nil {
				return
			}
			if err != nil {
				write.CloseWithError(err) // io.EOF stays one
				return
			}
		}
	}()
	return read
}
