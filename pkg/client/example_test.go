package client_test

import (
	"context"
	"fmt"

	"github.com/rollcallhq/rollcall/pkg/client"
	"github.com/rollcallhq/rollcall/pkg/wire"
)

// Collect from some hosts, follow it to its end, and read what was learned.
func Example() {
	ctx := context.Background()
	c, err := client.New("https://rollcall.example.com", client.WithToken("rc_…"))
	if err != nil {
		fmt.Println(err)
		return
	}
	collection, err := c.Collect(ctx, wire.CollectionInput{Selector: new("env=prod"), ReportTypes: []string{"os"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for now, err := range c.Watch(ctx, collection.ID) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d of %d hosts\n", now.Counts.Succeeded, now.Counts.Total)
	}
	for report, err := range c.Reports(ctx, client.ReportQuery{Type: "os"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %s\n", report.Host, report.Facts)
	}
}

// Follow what changes, and go on where one has been after a restart.
func ExampleClient_FollowChanges() {
	ctx := context.Background()
	c, err := client.New("https://rollcall.example.com", client.WithToken("rc_…"))
	if err != nil {
		fmt.Println(err)
		return
	}
	place := client.Now // or what was kept from the last time
	for change, err := range c.FollowChanges(ctx, client.ChangeQuery{Selector: "env=prod", Path: "packages.*.version"}, &place, nil) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %s %s -> %s (go on at %s)\n", change.Host, change.Path, change.Before, change.After, place)
	}
}
