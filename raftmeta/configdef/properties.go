package configdef

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxLine bounds one logical line of a properties file.
const maxLine = 1 << 20

// LoadProperties reads the format of java.util.Properties: comments by # and !, separators
// =, : and space, backslash escapes, \uXXXX, and lines continued by a last backslash. Of
// two equal names the last wins.
func LoadProperties(from io.Reader) (map[string]string, error) {
	sc := bufio.NewScanner(from)
	sc.Buffer(make([]byte, 0, 4096), maxLine)
	sc.Split(scanLines)
	values := map[string]string{}
	for n := 1; sc.Scan(); n++ {
		line, first := strings.TrimLeft(sc.Text(), blanks), n
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continued(line) {
			line = line[:len(line)-1]
			if !sc.Scan() {
				break
			}
			n++
			line += strings.TrimLeft(sc.Text(), blanks)
			if len(line) > maxLine {
				return nil, fmt.Errorf("configdef: properties: line %d: too long", first)
			}
		}
		name, value := splitProperty(line)
		k, err := unescape(name)
		if err == nil {
			value, err = unescape(value)
		}
		if err != nil {
			return nil, fmt.Errorf("configdef: properties: line %d: %w", first, err)
		}
		values[k] = value
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("configdef: properties: %w", err)
	}
	return values, nil
}

const blanks = " \t\f"

// scanLines ends lines at \n, \r or \r\n.
func scanLines(data []byte, atEOF bool) (int, []byte, error) {
	for i, b := range data {
		switch b {
		case '\n':
			return i + 1, data[:i], nil
		case '\r':
			if i+1 < len(data) {
				if data[i+1] == '\n' {
					return i + 2, data[:i], nil
				}
				return i + 1, data[:i], nil
			}
			if atEOF {
				return i + 1, data[:i], nil
			}
			return 0, nil, nil // more has to come to tell \r from \r\n
		}
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// continued says whether the line ends in an odd number of backslashes.
func continued(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

// splitProperty cuts at the first separator that is not escaped.
func splitProperty(line string) (name, value string) {
	i := 0
	for i < len(line) && !strings.ContainsRune("=: \t\f", rune(line[i])) {
		if line[i] == '\\' && i+1 < len(line) {
			i++
		}
		i++
	}
	name, rest := line[:i], strings.TrimLeft(line[i:], blanks)
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], blanks)
	}
	return name, rest
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			break // a lone backslash at the end of the file
		}
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			if i+4 >= len(s) {
				return "", fmt.Errorf(`\u needs four hexadecimal digits`)
			}
			u, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil {
				return "", fmt.Errorf(`\u needs four hexadecimal digits`)
			}
			b.WriteRune(rune(u))
			i += 4
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}
