package main

import (
	"context"
)

func (c *campaign) javaTools(ctx context.Context) {}
func (c *campaign) dumpLogs(ctx context.Context)  {}
