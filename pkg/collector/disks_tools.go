package collector

import (
	"encoding/hex"
	"encoding/json"
	"strings"
)

type lvmFacts struct {
	PVs map[string]pvFacts `json:"pvs"` // by name
	VGs map[string]vgFacts `json:"vgs"` // by name
	LVs map[string]lvFacts `json:"lvs"` // by volume group and name
}

type pvFacts struct {
	Name string  `json:"name"`
	VG   *string `json:"vg"`
	Size *int64  `json:"size"`
	Free *int64  `json:"free"`
	UUID *string `json:"uuid"`
}

type vgFacts struct {
	Name string  `json:"name"`
	Size *int64  `json:"size"`
	Free *int64  `json:"free"`
	UUID *string `json:"uuid"`
	PVs  *int64  `json:"pv_count"`
	LVs  *int64  `json:"lv_count"`
}

type lvFacts struct {
	Name    string  `json:"name"`
	VG      string  `json:"vg"`
	Size    *int64  `json:"size"`
	Segtype *string `json:"segtype"`
	UUID    *string `json:"uuid"`
}

// addLsblk adds what lsblk knows from udev's database.
func addLsblk(r *reader, devices map[string]*blockFacts) {
	fields := []string{
		"block.*.fstype", "block.*.uuid", "block.*.label", "block.*.partuuid", "block.*.model", "block.*.serial", "block.*.wwn",
		"block.*.transport",
	}
	out := r.section("lsblk", fields...)
	if strings.TrimSpace(out) == "" {
		return
	}
	type node struct {
		KName    *string `json:"kname"`
		FSType   *string `json:"fstype"`
		UUID     *string `json:"uuid"`
		Label    *string `json:"label"`
		PartUUID *string `json:"partuuid"`
		Model    *string `json:"model"`
		Serial   *string `json:"serial"`
		WWN      *string `json:"wwn"`
		Tran     *string `json:"tran"`
		Children []node  `json:"children"`
	}
	var answer struct {
		Devices []node `json:"blockdevices"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		r.lose(ReasonParseFailed, fields...)
		r.warn("section lsblk: parse_failed")
		return
	}
	for queue := answer.Devices; len(queue) > 0; queue = queue[1:] {
		n := queue[0]
		queue = append(queue, n.Children...)
		d := devices[deref(n.KName)]
		if d == nil {
			continue
		}
		for _, field := range []struct {
			to   **string
			from *string
		}{
			{&d.FSType, n.FSType},
			{&d.UUID, n.UUID},
			{&d.Label, n.Label},
			{&d.PartUUID, n.PartUUID},
			{&d.Model, n.Model},
			{&d.Serial, n.Serial},
			{&d.WWN, n.WWN},
			{&d.Transport, n.Tran},
		} {
			if value := text(deref(field.from)); value != nil {
				*field.to = value
			}
		}
	}
}

// hexByte reads two hexadecimal digits.
func hexByte(s string) (byte, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 1 {
		return 0, false
	}
	return b[0], true
}

// readLVM reads the reports of LVM, which only root gets; its lists are null for everybody else.
func readLVM(r *reader) lvmFacts {
	out := r.section("lvm", "lvm")
	if !r.run.Root() {
		r.lack(ReasonNoPermission, "lvm")
		return lvmFacts{}
	}
	f := lvmFacts{PVs: map[string]pvFacts{}, VGs: map[string]vgFacts{}, LVs: map[string]lvFacts{}}
	parts := splitParts(out, "pvs", "vgs", "lvs")
	switch _, asked := parts["pvs"]; {
	case asked:
	case strings.TrimSpace(out) != "":
		r.lose(ReasonParseFailed, "lvm")
		return lvmFacts{}
	default: // nobody to ask, unless the section has said why
		r.lack(ReasonToolMissing, "lvm")
		return lvmFacts{}
	}
	for _, row := range lvmRows(r, parts["pvs"], "pv") {
		f.PVs[row["pv_name"]] = pvFacts{
			Name: row["pv_name"], VG: text(row["vg_name"]), Size: number(row["pv_size"]), Free: number(row["pv_free"]),
			UUID: text(row["pv_uuid"]),
		}
	}
	for _, row := range lvmRows(r, parts["vgs"], "vg") {
		f.VGs[row["vg_name"]] = vgFacts{
			Name: row["vg_name"], Size: number(row["vg_size"]), Free: number(row["vg_free"]), UUID: text(row["vg_uuid"]),
			PVs: number(row["pv_count"]), LVs: number(row["lv_count"]),
		}
	}
	for _, row := range lvmRows(r, parts["lvs"], "lv") {
		f.LVs[row["vg_name"]+":"+row["lv_name"]] = lvFacts{
			Name: row["lv_name"], VG: row["vg_name"], Size: number(row["lv_size"]), Segtype: text(row["segtype"]),
			UUID: text(row["lv_uuid"]),
		}
	}
	return f
}

// lvmRows returns the rows of one of LVM's reports in JSON, all of whose values are strings. One without a row is JSON as
// well: where there is nothing, LVM has refused to answer.
func lvmRows(r *reader, out, kind string) []map[string]string {
	var answer struct {
		Report []map[string][]map[string]string `json:"report"`
	}
	reason := ReasonParseFailed
	if strings.TrimSpace(out) == "" {
		reason = ReasonDenied
	}
	var rows []map[string]string
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		if r.reasonFor("lvm") == "" {
			r.lose(reason, "lvm")
			r.warn("section lvm: " + reason)
		}
		return nil
	}
	for _, report := range answer.Report {
		for _, row := range report[kind] {
			if !isWord(row[kind+"_name"]) {
				r.lose(ReasonParseFailed, "lvm")
				continue
			}
			rows = append(rows, row)
		}
	}
	return rows
}
