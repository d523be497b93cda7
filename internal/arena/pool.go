package arena

// New returns an empty pool that will never hold more than budget bytes.
func New(budget int64) *Pool { panic("soon") }

// Pool is the off-heap memory of one core.
type Pool struct{}

func (p *Pool) Get(n int) *Buf { panic("soon") }
func (p *Pool) Held() int64    { panic("soon") }
func (p *Pool) Release(b *Buf) { panic("soon") }
func (p *Pool) Trim()          { panic("soon") }
func (b *Buf) Hold()           { panic("soon") }
func (b *Buf) Refs() int32     { return b.refs }
func (p *Pool) Budget() int64  { panic("soon") }
func (p *Pool) Close() error   { panic("soon") }
