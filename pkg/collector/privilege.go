package collector

// Privileged returns the patterns of the facts and metrics of a built-in report type that only root can tell on a usual
// host: without root they are unavailable with ReasonNoPermission. None for a type that loses nothing.
func Privileged(reportType string) []string {
	switch reportType {
	case "os":
		return []string{"hw.serial", "hw.uuid", "board.serial"}
	case "disks":
		return []string{"lvm"}
	case "network":
		return []string{"firewall"}
	}
	return nil
}
