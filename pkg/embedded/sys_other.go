//go:build !unix

package embedded

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"github.com/rollcallhq/rollcall/pkg/fleet"
)

// supported refuses: this system has neither process groups nor file locks as they are needed here.
func supported() error {
	return fleet.Errorf(fleet.Unavailable, "private servers cannot be run on %s; set DATABASE_URL and REDIS_URL to servers of yours", runtime.GOOS)
}

func flock(*os.File) error { return supported() }

func funlock(*os.File) {}

func ownerOf(fs.FileInfo) (uid, gid int) { return -1, -1 }

func alive(int) bool { return false }

func signal(int, syscall.Signal) error { return errors.ErrUnsupported }

func killGroup(int) {}

func childAttr(identity, syscall.Signal) *syscall.SysProcAttr { return nil }

func haveNamespaces() bool { return false }

func worksIn(int, string) (yes, known bool) { return false, false }

func anyWorksIn(string) bool { return false }
