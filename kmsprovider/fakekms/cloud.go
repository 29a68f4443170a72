package fakekms

import (
	"fmt"
	"sync"
)

// Bounds on what clients can make the server hold.
const (
	maxKeys    = 1 << 17
	maxAliases = 1 << 17
	maxRegions = 64
)

// A cloud is what the regional servers share.
type cloud struct {
	account   string
	seed      uint64
	transport *transport

	mu       sync.Mutex
	servers  map[string]*Server   // by region
	keys     map[string]*key      // by ARN
	aliases  map[string]string    // alias ARN to key ARN
	material map[string]*material // by ID
}

func newCloud(account string, seed uint64) *cloud {
	return &cloud{
		account:   account,
		seed:      seed,
		transport: newTransport(),
		servers:   map[string]*Server{},
		keys:      map[string]*key{},
		aliases:   map[string]string{},
		material:  map[string]*material{},
	}
}

// server returns the server of a region, and makes it if create is set.
func (c *cloud) server(region string, create bool) (*Server, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.servers[region]; s != nil {
		return s, nil
	}
	switch {
	case !validRegion(region):
		return nil, fmt.Errorf("%q is not the name of a region", region)
	case !create:
		return nil, fmt.Errorf("region %q has no server yet", region)
	case len(c.servers) >= maxRegions:
		return nil, fmt.Errorf("no more than %d regions", maxRegions)
	}
	s := &Server{cloud: c, region: region}
	s.faults.seed = c.seed
	c.servers[region] = s
	return s, nil
}
