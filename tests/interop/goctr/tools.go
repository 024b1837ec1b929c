// SPDX-License-Identifier: Apache-2.0

//go:build tools

// The program under test; importing it keeps its modules in go.mod.
package goctr

import _ "github.com/containerd/containerd/v2/cmd/ctr"
