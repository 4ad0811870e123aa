//go:build tools

// Package tools names the commands that `deploy/stack/get` builds from this module, so that go.mod and go.sum pin them.
package tools

import (
	_ "github.com/influxdata/influxdb/v2/cmd/influxd"
	_ "github.com/influxdata/pkg-config"
)
