package engine

import (
	"errors"
	"time"
)

// moveWait is how long Move waits: longer than a move takes before it is called off.
const moveWait = 40 * time.Second

// Move brings a partition to another core, while it serves. It returns when the partition
// is there, or stays.
func (b *Broker) Move(topic string, partition int32, core int) error {
	ch := make(chan error, 1)
	b.cores[0].inbox.Post(func(c *Core) {
		c.requestMove(topic, partition, core, func(err error) { ch <- err }) // buffered: never blocks
	})
	select {
	case err := <-ch:
		return err
	case <-time.After(moveWait):
		return errors.New("engine: the cores do not answer")
	}
}
