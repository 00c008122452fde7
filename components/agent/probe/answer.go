package probe

import (
	"bufio"
	"context"
	"crypto/hmac"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"

	"provision/components/reach"
)

// maxConns bounds the connections that one listener answers at a time.
const maxConns = 256

func newListenCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "listen",
		Short: "Answer the dials of `probe reach` at the endpoints that stdin says, until stdin ends",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			in := bufio.NewReader(command.InOrStdin())
			request, err := readRequest(in)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(command.Context(), reach.Lifetime)
			defer cancel()
			go func() {
				io.Copy(io.Discard, in) // an end, or an error, is the provisioner's going
				cancel()
			}()
			return answer(command.OutOrStdout(), listen(ctx, request))
		},
	}
}

// listen answers at every endpoint until ctx ends, and returns where it could not.
func listen(ctx context.Context, request reach.Request) []reach.Failure {
	var failures []reach.Failure
	var closers []io.Closer
	for _, end := range request.Listen {
		var closer io.Closer
		var err error
		if end.Proto == "tcp" {
			closer, err = listenTCP(end.Addr.String(), request.Key)
		} else {
			closer, err = listenUDP(end.Addr.String(), request.Key)
		}
		if err != nil {
			failures = append(failures, reach.Failure{Endpoint: end, Reason: reach.Busy, Detail: lastWords(err)})
			continue
		}
		closers = append(closers, closer)
	}
	<-ctx.Done()
	for _, closer := range closers {
		closer.Close()
	}
	return failures
}

func listenTCP(address string, key []byte) (io.Closer, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	slots := make(chan struct{}, maxConns)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			slots <- struct{}{}
			go func() {
				defer func() { <-slots }()
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(reach.Patience))
				asked := make([]byte, len(question(key, make([]byte, challengeSize))))
				if _, err := io.ReadFull(conn, asked); err != nil {
					return
				}
				conn.Write(reply(key, asked))                // who went away needs no answer
				io.Copy(io.Discard, io.LimitReader(conn, 1)) // the dialler closes first, and keeps the port's TIME_WAIT
			}()
		}
	}()
	return listener, nil
}

func listenUDP(address string, key []byte) (io.Closer, error) {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	go func() {
		buffer := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer := reply(key, buffer[:n]); answer != nil {
				conn.WriteTo(answer, from)
			}
		}
	}()
	return conn, nil
}

// reply is the answer to a question of this trial, and nil to any other.
func reply(key, asked []byte) []byte {
	if len(asked) < challengeSize || !hmac.Equal(asked, question(key, asked[:challengeSize])) {
		return nil
	}
	return proof(key, "answer", asked[:challengeSize])
}
