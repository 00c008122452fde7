package overlay

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
)

// Key is a Curve25519 public key of WireGuard. Its text is standard base64, as
// wg prints it.
type Key [32]byte

// String returns the key as wg prints it.
func (k Key) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// MarshalText implements encoding.TextMarshaler.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. The zero key, with which
// nobody can be authenticated, is refused.
func (k *Key) UnmarshalText(text []byte) error {
	key, err := decodeKey(text)
	if err != nil {
		return err
	}
	if key == (Key{}) {
		return errors.New("a key of zeros")
	}
	*k = key
	return nil
}

// PrivateKey is a Curve25519 private key. It prints as nothing, so that it
// cannot slip into a log; PrivateKeyText is how it gets to its file.
type PrivateKey [32]byte

// NewPrivateKey makes a key from the system's randomness.
func NewPrivateKey() PrivateKey {
	var k PrivateKey
	rand.Read(k[:]) // never fails: crypto/rand ends the program instead
	// Clamped as Curve25519 wants it, so that the kernel gives back the same bytes
	// that it was given and comparing them says "unchanged".
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k
}

// ParsePrivateKey reads what PrivateKeyText wrote.
func ParsePrivateKey(text []byte) (PrivateKey, error) {
	k, err := decodeKey(text)
	if err == nil && (k[0]&7 != 0 || k[31]&192 != 64) {
		err = errors.New("not a Curve25519 private key")
	}
	return PrivateKey(k), err
}

// PrivateKeyText returns the key as wg reads it, with a newline.
func (k PrivateKey) PrivateKeyText() []byte {
	return []byte(Key(k).String() + "\n")
}

// Public returns the key that may be told to others.
func (k PrivateKey) Public() Key {
	private, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil { // only for a wrong length, which the type rules out
		panic(err)
	}
	return Key(private.PublicKey().Bytes())
}

// String keeps the key out of logs.
func (PrivateKey) String() string { return "(private key)" }

// GoString keeps the key out of logs.
func (PrivateKey) GoString() string { return "(private key)" }

// PresharedKey is a secret that all machines of a cluster mix into every
// handshake, beside their own keys; zero: none. It prints as nothing.
type PresharedKey [32]byte

// NewPresharedKey makes one from the system's randomness.
func NewPresharedKey() PresharedKey {
	var k PresharedKey
	rand.Read(k[:]) // never fails: crypto/rand ends the program instead
	return k
}

// ParsePresharedKey reads what PresharedKeyText wrote. Zeros, which WireGuard
// takes for no key at all, are refused.
func ParsePresharedKey(text []byte) (PresharedKey, error) {
	k, err := decodeKey(text)
	if err == nil && k == (Key{}) {
		err = errors.New("a key of zeros")
	}
	return PresharedKey(k), err
}

// PresharedKeyText returns the key as wg reads it, with a newline.
func (k PresharedKey) PresharedKeyText() []byte { return []byte(Key(k).String() + "\n") }

// String keeps the key out of logs.
func (PresharedKey) String() string { return "(pre-shared key)" }

// GoString keeps the key out of logs.
func (PresharedKey) GoString() string { return "(pre-shared key)" }

func decodeKey(text []byte) (Key, error) {
	if n := len(text); n > 0 && text[n-1] == '\n' {
		text = text[:n-1]
	}
	if len(text) != base64.StdEncoding.EncodedLen(len(Key{})) {
		return Key{}, fmt.Errorf("a key is 44 characters of base64, not %d", len(text))
	}
	var k Key
	var raw [33]byte
	n, err := base64.StdEncoding.Strict().Decode(raw[:], text)
	if err != nil || n != len(k) {
		return Key{}, errors.New("a key is 32 bytes in base64")
	}
	copy(k[:], raw[:])
	return k, nil
}
