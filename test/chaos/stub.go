package main

import "context"

func (t *trial) power(ctx context.Context) error    { return errSkipped }
func (t *trial) recreate(ctx context.Context) error { return errSkipped }
func (t *trial) storm(ctx context.Context) error    { return errSkipped }
