package componentstest

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/pki"
	"provision/overlay"
)

// agent does what the agent's small commands do, without cryptography.
func (m *Machine) agent(args []string, stdin io.Reader) (out []byte, code int, why string) {
	var err error
	switch verb := strings.Join(args[:min(2, len(args))], " "); {
	case args[0] == "unpack":
		err = m.unpack(option(args, "--root")+"/"+option(args, "--id"), stdin)
	case args[0] == "import-images":
		if u := m.units[actions.Service("containerd")]; u == nil || u.active != "active" {
			return nil, 1, "agent: import-images: containerd does not answer"
		}
		dir := option(args, "--dir")
		for name := range m.files {
			if strings.HasPrefix(name, dir+"/images/") {
				m.images[strings.TrimPrefix(name, dir+"/")] = true
			}
		}
	case args[0] == "grant":
		if _, ok := m.files[components.PKI+"/cluster-ca.crt"]; !ok {
			return nil, 1, "agent: grant: no authority"
		}
	case verb == "certificates init":
		for _, name := range authorityFiles {
			if _, ok := m.files[components.PKI+"/"+name]; !ok {
				m.files[components.PKI+"/"+name] = file{mode: modeOf(name), content: born(name + " of " + m.name)}
			}
		}
	case verb == "certificates export-authorities":
		out, err = json.Marshal(m.export(components.PKI, authorityFiles))
	case verb == "certificates import-authorities":
		return m.take(components.PKI, stdin)
	case verb == "certificates next":
		for _, name := range pki.NextFiles() {
			if _, ok := m.files[pki.NextDir+"/"+name]; !ok {
				m.files[pki.NextDir+"/"+name] = file{mode: modeOf(name), content: born(name + " of " + m.name + " after " + string(m.files[components.PKI+"/"+name].content))}
			}
		}
	case verb == "certificates export-next":
		out, err = json.Marshal(m.export(pki.NextDir, pki.NextFiles()))
	case verb == "certificates import-next":
		return m.take(pki.NextDir, stdin)
	case verb == "certificates switch":
		return m.switchOver()
	case verb == "certificates retire":
		m.move(pki.PreviousDir, pki.RetiredDir)
	case verb == "certificates list":
		out, err = json.Marshal(m.certificates())
	case verb == "certificates preshared-key":
		if _, ok := m.files[option(args, "--file")]; !ok {
			m.files[option(args, "--file")] = file{mode: 0o600, content: overlay.NewPresharedKey().PresharedKeyText()}
		}
	case verb == "certificates request":
		out, err = answer(stdin, func(list pki.LeafList) (requests pki.Requests) {
			for _, leaf := range list.Leaves {
				requests.Requests = append(requests.Requests, pki.Request{Leaf: leaf, CSR: "request"})
			}
			return requests
		})
	case verb == "certificates sign":
		out, err = answer(stdin, m.sign)
	case verb == "certificates install":
		_, err = answer(stdin, m.install)
	case verb == "remove":
		m.wipe()
		out = []byte("{}")
	default:
		return nil, 64, "agent: unknown command " + verb
	}
	if err != nil {
		return nil, 1, "agent: " + err.Error()
	}
	return out, 0, ""
}

var authorityFiles = []string{"cluster-ca.crt", "cluster-ca.key", "etcd-ca.crt", "etcd-ca.key", "front-proxy-ca.crt", "front-proxy-ca.key",
	"service-account.key", "service-account.pub", "encryption.yaml"}

func modeOf(name string) fs.FileMode {
	if secret(name) {
		return 0o600
	}
	return 0o644
}

// born is the content of a new file: certificates are PEM, as far as anybody looks.
func born(text string) []byte {
	if name, _, _ := strings.Cut(text, " "); strings.HasSuffix(name, ".crt") {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(text)})
	}
	return []byte(text)
}

func (m *Machine) export(dir string, names []string) map[string]string {
	all := map[string]string{}
	for _, name := range names {
		all[name] = string(m.files[dir+"/"+name].content)
	}
	return all
}

func (m *Machine) take(dir string, stdin io.Reader) (out []byte, code int, why string) {
	var in map[string]string
	if err := json.NewDecoder(stdin).Decode(&in); err != nil {
		return nil, 1, "agent: " + err.Error()
	}
	for name, text := range in {
		if have, ok := m.files[dir+"/"+name]; ok && string(have.content) != text {
			return nil, 1, "agent: " + name + ": this machine has another one"
		}
		m.files[dir+"/"+name] = file{mode: modeOf(name), content: []byte(text)}
	}
	return nil, 0, ""
}

// switchOver has the next authorities sign.
func (m *Machine) switchOver() (out []byte, code int, why string) {
	if _, ok := m.files[pki.NextDir+"/"+pki.Cross+".crt"]; !ok {
		if _, done := m.files[pki.PreviousDir+"/"+pki.Cross+".crt"]; done {
			return nil, 0, ""
		}
		return nil, 1, "agent: there are no authorities that are to follow"
	}
	for _, name := range pki.Authorities {
		m.files[pki.PreviousDir+"/"+name+".crt"] = m.files[components.PKI+"/"+name+".crt"]
		for _, end := range []string{".key", ".crt"} {
			m.files[components.PKI+"/"+name+end] = m.files[pki.NextDir+"/"+name+end]
			delete(m.files, pki.NextDir+"/"+name+end)
		}
	}
	m.move(pki.NextDir, pki.PreviousDir)
	return nil, 0, ""
}

// move moves what is in a folder.
func (m *Machine) move(from, to string) {
	for name, f := range maps.Clone(m.files) {
		if path.Dir(name) == from {
			m.files[to+"/"+path.Base(name)] = f
			delete(m.files, name)
		}
	}
}

func option(args []string, name string) string {
	if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// answer is a command that reads and writes JSON.
func answer[In, Out any](stdin io.Reader, of func(In) Out) ([]byte, error) {
	var in In
	if err := json.NewDecoder(stdin).Decode(&in); err != nil {
		return nil, err
	}
	return json.Marshal(of(in))
}

func (m *Machine) sign(requests pki.Requests) pki.Signed {
	signed := pki.Signed{Authorities: map[string]string{}}
	for _, name := range pki.Authorities {
		signed.Authorities[name] = string(m.files[components.PKI+"/"+name+".crt"].content)
	}
	for _, r := range requests.Requests {
		signed.Certificates = append(signed.Certificates, pki.Certificate{Leaf: r.Leaf, Certificate: "certificate of " + r.Leaf.CommonName})
	}
	return signed
}

func (m *Machine) install(signed pki.Signed) struct{} {
	for name, text := range signed.Authorities {
		m.files[components.PKI+"/"+name+".crt"] = file{mode: 0o644, content: []byte(text)}
	}
	for _, c := range signed.Certificates {
		m.files[components.PKI+"/"+c.Leaf.Name+".crt"] = file{mode: 0o644, content: []byte(c.Certificate)}
		m.files[components.PKI+"/"+c.Leaf.Name+".key"] = file{mode: 0o600, content: []byte("key")}
		m.certs[c.Leaf.Name] = components.CertFact{
			CommonName: c.Leaf.CommonName, Organizations: c.Leaf.Organizations, Names: c.Leaf.Names,
			Authority: components.Sum([]byte(signed.Authorities[c.Leaf.Authority])),
			NotBefore: time.Now(), NotAfter: time.Now().Add(c.Leaf.Lifetime()),
		}
	}
	return struct{}{}
}

// unpack reads what Site.Bundle writes.
func (m *Machine) unpack(dir string, stdin io.Reader) error {
	var sent []sentFile
	if err := json.NewDecoder(stdin).Decode(&sent); err != nil {
		return err
	}
	have, sums := map[string]file{}, map[string]string{}
	for name, f := range m.files {
		if strings.HasPrefix(name, components.Root+"/") {
			have[components.Sum(f.content)] = f
		}
	}
	for _, f := range sent {
		content := f.Content
		if content == nil {
			content = have[f.Sum].content
		}
		if components.Sum(content) != f.Sum {
			return &missingError{f.Name}
		}
		m.files[dir+"/"+f.Name] = file{mode: 0o755, content: content}
		sums[f.Name] = f.Sum
	}
	m.bundles[path.Base(dir)] = sums
	m.order = append(slices.DeleteFunc(m.order, func(id string) bool { return id == path.Base(dir) }), path.Base(dir))
	m.files[dir+"/manifest.json"] = file{mode: 0o644, content: []byte("{}")}
	return nil
}

type missingError struct{ name string }

func (e *missingError) Error() string { return "unpack: " + e.name + " was not sent and is not here" }

// prune is what the script does that removes bundles.
func (m *Machine) prune(ids []string) {
	named := func(id string) bool {
		for name, f := range m.files {
			if path.Dir(name) == components.Units && strings.Contains(string(f.content), components.Root+"/"+id+"/") {
				return true
			}
		}
		return m.Shims[id]
	}
	for _, id := range ids {
		if named(id) {
			continue
		}
		maps.DeleteFunc(m.files, func(name string, _ file) bool { return strings.HasPrefix(name, components.Root+"/"+id+"/") })
		delete(m.bundles, id)
	}
}
