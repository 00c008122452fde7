package ssh

import (
	"context"
	"crypto/x509"
	"errors"
	"io"

	"golang.org/x/crypto/ssh"
)

// locked returns a signer for a key file with a passphrase. Where the file
// tells its public key, the passphrase is asked for only once a machine has
// said that it wants this key.
func (d *Dialer) locked(ctx context.Context, file string, data []byte, public ssh.PublicKey) (ssh.Signer, error) {
	if d.Passphrase == nil {
		return nil, errors.New("it has a passphrase, and there is no terminal to ask for it: add the key to an agent")
	}
	key := &lockedKey{ctx: ctx, dialer: d, file: file, data: data, public: public}
	if public == nil {
		return key.unlock()
	}
	return key, nil
}

// lockedKey is an ssh.AlgorithmSigner, as RSA keys need: their plain Sign is
// for SHA-1, which servers refuse.
type lockedKey struct {
	ctx    context.Context // the connection's that it is for
	dialer *Dialer
	file   string
	data   []byte
	public ssh.PublicKey
}

func (k *lockedKey) PublicKey() ssh.PublicKey { return k.public }

func (k *lockedKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(rand, data, "")
}

func (k *lockedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signer, err := k.unlock()
	if err != nil {
		return nil, &KeyFileError{k.file, err}
	}
	if with, ok := signer.(ssh.AlgorithmSigner); ok {
		return with.SignWithAlgorithm(rand, data, algorithm)
	}
	return signer.Sign(rand, data)
}

// passphraseTries is how often a person may mistype.
const passphraseTries = 3

// unlocked is what came of asking for a key's passphrase.
type unlocked struct {
	signer ssh.Signer
	err    error
}

// unlock asks for the passphrase, once for all machines.
func (k *lockedKey) unlock() (ssh.Signer, error) {
	k.dialer.mu.Lock()
	defer k.dialer.mu.Unlock()
	known, ok := k.dialer.unlocked[k.file]
	if !ok {
		known.signer, known.err = k.ask()
		if k.dialer.unlocked == nil {
			k.dialer.unlocked = map[string]unlocked{}
		}
		k.dialer.unlocked[k.file] = known
	}
	return known.signer, known.err
}

func (k *lockedKey) ask() (ssh.Signer, error) {
	for range passphraseTries {
		passphrase, err := k.dialer.Passphrase(k.ctx, k.file)
		if err != nil {
			return nil, err
		}
		signer, err := ssh.ParsePrivateKeyWithPassphrase(k.data, passphrase)
		clear(passphrase)
		if !errors.Is(err, x509.IncorrectPasswordError) {
			return signer, err
		}
	}
	return nil, errors.New("the passphrase is wrong")
}
