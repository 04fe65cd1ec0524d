package hpack

// Field is one field of a block. Its slices are good until the next call of the decoder
// that gave it.
type Field struct {
	Name, Value []byte
	// Checked is for whoever decodes: what is stored there is there again when the same
	// entry of the dynamic table is referred to. Nil when the field is in no table; entries
	// of the static table have a true one.
	Checked *bool
}

// Decoder reads the header blocks of one connection. Make one with [NewDecoder]. Not safe
// for concurrent use. After an error it is of no further use.
type Decoder struct {
	dyn     table
	limit   int // that size updates may set
	rest    []byte
	scratch []byte
	updates int // still allowed in this block
	known   bool
}

// NewDecoder makes a decoder whose dynamic table has at most size bytes, as announced in
// SETTINGS_HEADER_TABLE_SIZE.
func NewDecoder(size int) *Decoder { return &Decoder{dyn: table{max: size}, limit: size} }

// Start begins with a whole header block, which must stay as it is until its last field.
func (d *Decoder) Start(block []byte) { d.rest, d.updates = block, 2 }

// Next reads a field into f; false at the end of the block. The error is [ErrCompression].
func (d *Decoder) Next(f *Field) (bool, error) {
	for len(d.rest) > 0 {
		b := d.rest[0]
		if b&0xe0 != 0x20 {
			d.updates = 0
		}
		switch {
		case b&0x80 != 0: // RFC 7541 6.1
			return true, d.indexed(f)
		case b&0xc0 == 0x40: // 6.2.1
			return true, d.literal(f, 6, true)
		case b&0xe0 == 0x20: // 6.3
			if err := d.update(); err != nil {
				return false, err
			}
		default: // 6.2.2, 6.2.3
			return true, d.literal(f, 4, false)
		}
	}
	return false, nil
}

// Trim gives memory back that only a large block needed.
func (d *Decoder) Trim() {
	d.rest = nil
	if cap(d.scratch) > 1<<10 {
		d.scratch = nil
	}
}

func (d *Decoder) indexed(f *Field) error {
	i, rest, err := readInt(d.rest, 7)
	if err != nil {
		return err
	}
	d.rest = rest
	return d.refer(f, i)
}

// refer makes f the field at an index of the joined tables (RFC 7541 2.3.3).
func (d *Decoder) refer(f *Field, i int) error {
	if i == 0 {
		return ErrCompression
	}
	if i <= staticLen {
		d.known = true
		f.Name, f.Value, f.Checked = static[i].name, static[i].value, &d.known
		return nil
	}
	e := d.dyn.newest(i - staticLen)
	if e == nil {
		return ErrCompression
	}
	f.Name, f.Value = d.dyn.bytes(e)
	f.Checked = &e.checked
	return nil
}

func (d *Decoder) literal(f *Field, bits uint, insert bool) error {
	i, rest, err := readInt(d.rest, bits)
	if err != nil {
		return err
	}
	d.rest = rest
	scratch := d.scratch[:0]
	if i > 0 {
		err = d.refer(f, i)
	} else {
		f.Name, scratch, err = d.text(scratch)
	}
	if err != nil {
		return err
	}
	f.Value, scratch, err = d.text(scratch)
	if err != nil {
		return err
	}
	f.Checked = nil
	if insert {
		if i > staticLen { // the entry with the name may be moved or evicted now
			start := len(scratch)
			scratch = append(scratch, f.Name...)
			f.Name = scratch[start:]
		}
		if e := d.dyn.insert(f.Name, f.Value); e != nil {
			f.Checked = &e.checked
		}
	}
	d.scratch = scratch
	return nil
}

// text reads a string (RFC 7541 5.2), which lies in the block or is appended to scratch.
func (d *Decoder) text(scratch []byte) (s, _ []byte, err error) {
	if len(d.rest) == 0 {
		return nil, scratch, ErrCompression
	}
	coded := d.rest[0]&0x80 != 0
	n, rest, err := readInt(d.rest, 7)
	if err != nil || n > len(rest) {
		return nil, scratch, ErrCompression
	}
	s, d.rest = rest[:n:n], rest[n:]
	if coded {
		start := len(scratch)
		if scratch, err = appendHuffman(scratch, s); err != nil {
			return nil, scratch, err
		}
		s = scratch[start:len(scratch):len(scratch)]
	}
	return s, scratch, nil
}

// update changes the size of the table, at the start of a block only (RFC 7541 4.2). An
// encoder has at most two to send: the least size that there was and the last.
func (d *Decoder) update() error {
	size, rest, err := readInt(d.rest, 5)
	if err != nil || size > d.limit || d.updates == 0 {
		return ErrCompression
	}
	d.rest = rest
	d.updates--
	d.dyn.resize(size)
	return nil
}
