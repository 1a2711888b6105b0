package engine

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// statOf are the fields of proc_pid_stat(5) behind the name, from the third on;
// none if there is no such process.
func statOf(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return statFields(b)
}

// statFields splits proc_pid_stat(5) behind the second field, a name in parentheses
// that may have anything in it.
func statFields(stat []byte) []string {
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
}
