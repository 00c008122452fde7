package ssh

import (
	"errors"
	"strings"
)

// plain are the characters that mean only themselves to every shell.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_"

// quote makes one line of argv that a POSIX shell takes apart into the same
// argv again: SSH has no way to pass one.
func quote(argv []string) (string, error) {
	if err := runnable(argv); err != nil {
		return "", err
	}
	words := make([]string, len(argv))
	for i, arg := range argv {
		if strings.ContainsRune(arg, 0) {
			return "", errors.New("an argument of " + argv[0] + " contains a zero byte")
		}
		words[i] = arg
		if arg == "" || strings.Trim(arg, plain) != "" {
			words[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " "), nil
}

// runnable refuses what no shell or env would take for a command.
func runnable(argv []string) error {
	switch {
	case len(argv) == 0 || argv[0] == "":
		return errors.New("there is no command to run")
	case strings.Contains(argv[0], "="):
		return errors.New(argv[0] + ": a command's name cannot contain =")
	}
	return nil
}
