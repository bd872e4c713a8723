package simulate

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// An inventoryHost is a line of the inventory. The names are those of the import.
type inventoryHost struct {
	Name       string              `json:"name"`
	Address    string              `json:"address"`
	Port       int                 `json:"port"`
	Site       string              `json:"site"`
	Labels     map[string]string   `json:"labels"`
	Connection string              `json:"connection"`
	Credential inventoryCredential `json:"credential"`
}

type inventoryCredential struct {
	Name       string `json:"name"`
	Kind       string `json:"kind"`
	Username   string `json:"username"`
	PrivateKey string `json:"private_key,omitempty"`
	Password   string `json:"password,omitempty"`
}

// WriteInventory writes the hosts as NDJSON, one host with its credential on a line, as the import of hosts takes it.
// All hosts share one credential, which is named on every line.
func (f *Fleet) WriteInventory(w io.Writer) error {
	credential := inventoryCredential{
		Name: "simulated", Kind: LoginByKey, Username: User, PrivateKey: string(f.privateKey), Password: f.password,
	}
	if f.password != "" {
		credential.Kind = LoginByPassword
	}
	buffered := bufio.NewWriter(w)
	lines := json.NewEncoder(buffered)
	for _, h := range f.Hosts() {
		line := inventoryHost{
			Name: h.Name, Address: h.Address, Port: h.Port, Site: "default", Labels: h.Labels, Connection: "ssh",
			Credential: credential,
		}
		if err := lines.Encode(line); err != nil {
			return fmt.Errorf("writing the inventory: %w", err)
		}
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("writing the inventory: %w", err)
	}
	return nil
}
