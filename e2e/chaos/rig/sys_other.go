//go:build !linux

package rig

import (
	"errors"
	"os"
	"syscall"
)

var errNotHere = errors.New("only on Linux")

func childAttr() *syscall.SysProcAttr { return nil }

func ownerAttr(string) (*syscall.SysProcAttr, error) { return nil, errNotHere }

func children(int) []int { return nil }

func mountDisk(string, string, int64) (string, error) { return "", errNotHere }

func unmountDisk(string) error { return errNotHere }

func fill(*os.File) error { return errNotHere }
