package master

import (
	"encoding/json"
	"time"

	"provision/components"
	"provision/components/pki"
	"provision/templates"
)

// Approval is certificates.json: what the approver of serving certificates is
// told. A kubelet gets one for the names and addresses of its own machine here
// and for nothing else.
type Approval struct {
	Kubeconfig string     `json:"kubeconfig"`
	Machines   []Approved `json:"machines"`
	// Of identities that machines renew: where the authority is, and how long they live.
	PKI             string `json:"pki"`
	LifetimeSeconds int64  `json:"lifetime_seconds"`
}

// Approved is one machine whose kubelet may serve.
type Approved struct {
	Name      string   `json:"name"`
	Address   string   `json:"address"`
	Addresses []string `json:"addresses,omitempty"` // more of them
}

func (p plane) approver() {
	p.kubeconfig(approverKubeconfig, "certificates")
	approval := Approval{Kubeconfig: approverKubeconfig, PKI: components.PKI, LifetimeSeconds: int64(pki.Lifetime(p.c) / time.Second)}
	for _, m := range p.c.Machines {
		machine := Approved{Name: m.Name, Address: m.Address.String()}
		if m.Address6.IsValid() {
			machine.Addresses = []string{m.Address6.String()}
		}
		approval.Machines = append(approval.Machines, machine)
	}
	text, err := json.MarshalIndent(approval, "", "  ")
	if err != nil {
		panic(err) // plain data always marshals
	}
	p.File(approverFile, 0o600, append(text, '\n'))
	p.Unit(approver, func(sum string) []byte {
		return templates.CertificatesService(templates.Certificates{Process: p.process(p.c.Agent(), sum)})
	}, approverKubeconfig, approverFile)
}
