// Package manifest takes YAML texts apart that are for the API: which objects
// they hold, and the bytes of each. What an object says beyond its name is the
// API server's to judge.
package manifest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"provision/components"
)

// Document is one object, with its text: YAML, or JSON where it was in a List.
type Document struct {
	components.Object
	Body []byte
}

// Split takes a text of several documents apart. A List counts as what it holds.
func Split(text []byte) ([]Document, error) {
	var all []Document
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for number := 1; ; number++ {
		body, err := reader.Read()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("manifest %d: %w", number, err)
		}
		documents, err := read(body)
		if err != nil {
			return nil, fmt.Errorf("manifest %d: %w", number, err)
		}
		all = append(all, documents...)
	}
}

func read(body []byte) ([]Document, error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct{ Name, Namespace string }
		Items      []json.RawMessage `json:"items"`
	}
	if err := yaml.Unmarshal(body, &head); err != nil {
		return nil, err
	}
	switch {
	case head.Kind == "" && head.APIVersion == "" && head.Metadata.Name == "":
		return nil, nil // nothing but comments
	case head.Kind == "List" && head.APIVersion == "v1":
		var all []Document
		for _, item := range head.Items {
			documents, err := read(item)
			if err != nil {
				return nil, err
			}
			all = append(all, documents...)
		}
		return all, nil
	case head.Kind == "" || head.APIVersion == "" || head.Metadata.Name == "":
		return nil, fmt.Errorf("apiVersion, kind and metadata.name must be given")
	}
	return []Document{{
		Object: components.Object{APIVersion: head.APIVersion, Kind: head.Kind, Namespace: head.Metadata.Namespace, Name: head.Metadata.Name},
		Body:   body,
	}}, nil
}

// Objects lists the objects of a text, in its order.
func Objects(text []byte) ([]components.Object, error) {
	documents, err := Split(text)
	if err != nil {
		return nil, err
	}
	objects := make([]components.Object, len(documents))
	for i, d := range documents {
		objects[i] = d.Object
	}
	return objects, nil
}
