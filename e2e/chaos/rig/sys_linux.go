package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// childAttr puts a child into a group of its own, so that Ctrl-C reaches it through us alone, and ends it with us.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// ownerAttr lets a child run as the owner of a file.
func ownerAttr(path string) (*syscall.SysProcAttr, error) {
	var stat syscall.Stat_t
	if err := syscall.Stat(path, &stat); err != nil {
		return nil, fmt.Errorf("looking at %s: %w", path, err)
	}
	attr := childAttr()
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}
	}
	return attr, nil
}

// children returns the processes whose parent is pid.
func children(pid int) []int {
	var found []int
	paths, _ := filepath.Glob("/proc/[0-9]*/stat") // the one error is a bad pattern
	for _, path := range paths {
		text, err := os.ReadFile(path) //nolint:gosec // of the kernel
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ") // the name before it may hold anything
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(pid) {
			continue
		}
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			found = append(found, child)
		}
	}
	return found
}

// mountDisk mounts a file system of that many bytes at dir: ext4 in a file at image, or, where that cannot be had, one
// in memory. It says which. An error means that this process may not mount.
func mountDisk(dir, image string, size int64) (kind string, err error) {
	if err := mountImage(dir, image, size); err == nil {
		return "ext4 on a loop device", nil
	}
	_ = os.Remove(image)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", size)); err != nil {
		return "", fmt.Errorf("mounting: %w", err)
	}
	return "tmpfs", nil
}

func mountImage(dir, image string, size int64) error {
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(image, size); err != nil {
		return err
	}
	for _, command := range []*exec.Cmd{
		exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", image), //nolint:noctx,gosec // it takes a moment; the path is our own
		exec.Command("mount", "-o", "loop", image, dir),         //nolint:noctx,gosec // as above
	} {
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
	}
	return nil
}

func unmountDisk(dir string) error { return syscall.Unmount(dir, syscall.MNT_DETACH) }

// fill takes all that is left on the file system of the file.
func fill(file *os.File) error {
	size := int64(0)
	for step := int64(1) << 30; step >= 4096; {
		err := syscall.Fallocate(int(file.Fd()), 0, size, step)
		switch {
		case err == nil:
			size += step
		case errors.Is(err, syscall.ENOSPC):
			step /= 2
		case errors.Is(err, syscall.EINTR):
		default:
			return fmt.Errorf("filling the disk: %w", err)
		}
	}
	return nil
}
