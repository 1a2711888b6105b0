package value_test

import (
	"fmt"

	"github.com/heddle-go/heddle/codec/value"
)

func Example() {
	type job struct {
		Name string   `msg:"name"`
		Args []string `msg:"args,omitempty"`
	}
	b, err := value.Append(nil, job{Name: "build", Args: []string{"-v"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%q\n", b)

	var j job
	var natural any
	if _, err := value.Decode(b, &j, value.Limits{}); err != nil {
		fmt.Println(err)
	}
	if _, err := value.Decode(b, &natural, value.Limits{}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(j, natural)

	_, err = value.Append(nil, map[string]any{"job": []any{1, make(chan job)}})
	fmt.Println(err)
	// Output:
	// "\x82\xa4name\xa5build\xa4args\x91\xa2-v"
	// {build [-v]} map[args:[-v] name:build]
	// value: chan value_test.job at ["job"][1]: a chan has no msgpack
}
