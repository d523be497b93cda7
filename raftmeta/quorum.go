package raftmeta

import (
	"errors"

	"millrace/protocol"
)

// What Propose may answer in place of an outcome.
var (
	// ErrClosed is given to proposals that a closing quorum did not decide: they may or may not
	// be applied after the next start.
	ErrClosed = errors.New("raftmeta: quorum closed")
	// ErrNoSpace answers what would make the image grow while the disk is nearly full.
	ErrNoSpace = errors.New("raftmeta: the disk is nearly full")
	// ErrBusy answers a proposal beyond what may wait.
	ErrBusy = errors.New("raftmeta: too many proposals wait")
)

// Quorum is all that the rest of the house knows of agreement.
type Quorum interface {
	// Propose starts to agree on cmd. It does not block on the disk. done is called exactly
	// once, from any goroutine, after the image with the change was published; an error says
	// that the change was refused or its fate is unknown.
	Propose(cmd Command, done func(Outcome, error))
	// Image is the newest published image; any thread.
	Image() *Image
	Close() error
}

// Outcome is what became of one command.
type Outcome struct {
	Index uint64 // of the log entry; the image that contains it has Index() ≥ it
	// Items has one entry per item of the command, in its order (one for commands of one).
	Items []Item
	// FirstProducerID is the first of the block, for AllocateProducerIDs.
	FirstProducerID int64
	// BrokerEpoch is set for RegisterBroker.
	BrokerEpoch int64
}

// Item is the outcome of one topic, resource or id.
type Item struct {
	Code    protocol.Code
	Message string // "" when Code is None or Kafka gives none
	Topic   protocol.TopicID
}

// Code is the first code that is not None: for commands of one item.
func (o Outcome) Code() protocol.Code {
	for _, it := range o.Items {
		if it.Code != protocol.None {
			return it.Code
		}
	}
	return protocol.None
}
