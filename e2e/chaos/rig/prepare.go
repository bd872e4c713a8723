package rig

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// groupSize is how many hosts share a label, so that a collection can ask for a part of the fleet.
const groupSize = 20

// prepare signs in, makes an API token, which works without Redis, and imports the hosts.
func (r *rig) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var session struct {
		AccessToken string `json:"access_token"`
	}
	err := r.must(ctx, "/api/v1/auth/login", map[string]string{"username": "admin", "password": r.password}, &session)
	if err != nil {
		return err
	}
	r.token = session.AccessToken
	var made struct {
		Token string `json:"token"`
	}
	if err := r.must(ctx, "/api/v1/tokens", map[string]string{"name": "chaos"}, &made); err != nil {
		return err
	}
	r.token = made.Token
	path := filepath.Join(r.Dir, "inventory.ndjson")
	err = eventually(ctx, 50*time.Millisecond, func() error { _, err := os.Stat(path); return err })
	if err != nil {
		return fmt.Errorf("waiting for the simulated hosts: %w", err)
	}
	inventory, err := r.inventory(path)
	if err != nil {
		return err
	}
	var imported struct {
		Created int `json:"created"`
	}
	if err := r.must(ctx, "/api/v1/hosts/import?format=ndjson", inventory, &imported); err != nil {
		return err
	}
	if imported.Created != r.Hosts {
		return fmt.Errorf("importing the hosts: %d of %d", imported.Created, r.Hosts)
	}
	return nil
}

// inventory returns the inventory of the simulated hosts with the label of its group on each.
func (r *rig) inventory(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // our own
	if err != nil {
		return nil, fmt.Errorf("reading the inventory: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines, out := json.NewDecoder(bufio.NewReader(file)), &bytes.Buffer{}
	for number := 0; ; number++ {
		var host map[string]any
		if err := lines.Decode(&host); errors.Is(err, io.EOF) {
			return out.Bytes(), nil
		} else if err != nil {
			return nil, fmt.Errorf("reading the inventory: %w", err)
		}
		host["labels"] = map[string]string{"group": groupOf(number)}
		if err := json.NewEncoder(out).Encode(host); err != nil {
			return nil, fmt.Errorf("writing the inventory: %w", err)
		}
	}
}

// groupOf returns the label of the host with that number, counted from 0, and hostName its name.
func groupOf(number int) string { return fmt.Sprintf("g%d", number/groupSize) }

func hostName(number int) string { return fmt.Sprintf("sim-%04d", number+1) }

// must posts to the first api, which nothing is done to yet, and reads the answer.
func (r *rig) must(ctx context.Context, path string, body, out any) error {
	content, isText := body.([]byte)
	contentType := "application/x-ndjson"
	if !isText {
		contentType = "application/json"
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.apis[0]+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", contentType)
	if r.token != "" {
		request.Header.Set("Authorization", "Bearer "+r.token)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("preparing: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("preparing: POST %s answers %d: %.300s", path, answer.StatusCode, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("preparing: reading the answer of %s: %w", path, err)
	}
	return nil
}
