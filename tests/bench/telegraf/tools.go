//go:build tools

// Package tools names the command that `deploy/stack/get telegraf` builds from this module, so that go.mod and go.sum pin
// it. `go mod tidy` would add the sums of every plugin; these are of the few that are built:
//
//	go build -mod=mod -tags custom,inputs.mqtt_consumer,parsers.json,outputs.influxdb_v2 github.com/influxdata/telegraf/cmd/telegraf
package tools

import _ "github.com/influxdata/telegraf/cmd/telegraf"
