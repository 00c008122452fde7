package components

import "slices"

// Differs says that an object of the API is not as a manifest has it: something of the
// manifest is not there, or is another. What the object has beyond it is the API's own,
// or somebody else's; but a list is whole: another rule of a role is a difference.
func Differs(manifest, object map[string]any) bool {
	for name, want := range manifest {
		if differs(want, object[name]) {
			return true
		}
	}
	return false
}

func differs(want, have any) bool {
	switch want := want.(type) {
	case nil:
		return false
	case map[string]any:
		object, is := have.(map[string]any)
		return !is && (have != nil || len(want) > 0) || Differs(want, object)
	case []any:
		list, is := have.([]any)
		return !is && (have != nil || len(want) > 0) || !slices.EqualFunc(want, list, func(a, b any) bool { return !differs(a, b) })
	}
	return want != have
}
