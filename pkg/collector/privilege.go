package collector

// Privileged returns the patterns of the facts and metrics of a built-in report type that only root can tell on a usual
// host: without root they are unavailable with ReasonNoPermission, of some things only in part, such as the keys of the
// others' accounts. None for a type that loses nothing there.
func Privileged(reportType string) []string {
	switch reportType {
	case "os":
		return []string{"hw.serial", "hw.uuid", "board.serial"}
	case "disks":
		return []string{"lvm"}
	case "network":
		return []string{"firewall"}
	case "users":
		return []string{
			"sudoers", "users.*.admin", "users.*.admin_via", "users.*.ssh_keys", "users.*.home_mode", "users.*.password_state",
			"users.*.password_changed_at", "users.*.password_min_days", "users.*.password_max_days", "users.*.password_warn_days",
			"users.*.inactive_days", "users.*.expires_at",
		}
	case "ports":
		return []string{"listening.*.process", "listening.*.exe", "listening.*.unit", "listening.*.container", "listening.*.pid"}
	}
	return nil
}
