//go:build tools

// Package tools names the command that `deploy/stack/get` builds from this module, so that go.mod and go.sum pin it.
package tools

import _ "github.com/Shopify/toxiproxy/v2/cmd/server"
