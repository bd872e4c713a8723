// Package bench measures the whole road against baselines that run beside it, so that figures are ratios within one
// run: task bench PKG=./bench/.
package bench
