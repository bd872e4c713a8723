//go:build !unix

package embedded

import (
	"context"
	"os"
)

// SharedForTests returns ROLLCALL_TEST_DATABASE_URL; on this system no server can be started for tests.
func SharedForTests(context.Context) (string, error) {
	if url, ok := os.LookupEnv("ROLLCALL_TEST_DATABASE_URL"); ok && url != "" {
		return url, nil
	}
	return "", supported()
}
