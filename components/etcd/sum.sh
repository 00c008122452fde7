# Prints two lines: the SHA-256 of the file $1 without its last 32 bytes, and those 32, both in hexadecimal.
head -c -32 "$1" | sha256sum | cut -c 1-64
tail -c 32 "$1" | od -An -v -tx1 | tr -d ' \n'
