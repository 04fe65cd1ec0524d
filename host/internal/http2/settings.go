package http2

import "encoding/binary"

// Settings (RFC 9113 6.5.2, RFC 9218 2.1).
const (
	settingHeaderTableSize   = 1
	settingEnablePush        = 2
	settingMaxStreams        = 3
	settingInitialWindow     = 4
	settingMaxFrame          = 5
	settingMaxHeaderListSize = 6
	settingNoPriorities      = 9
)

// appendHello appends our SETTINGS and the rest of the connection's window.
func (s *Server) appendHello(dst []byte) []byte {
	dst = appendFrameHeader(dst, 4*6, frameSettings, 0, 0)
	dst = appendSetting(dst, settingMaxStreams, uint32(s.o.Streams))
	dst = appendSetting(dst, settingInitialWindow, streamWindowSize)
	dst = appendSetting(dst, settingMaxHeaderListSize, uint32(s.o.Syntax.Head))
	dst = appendSetting(dst, settingNoPriorities, 1)
	return appendWindowUpdate(dst, 0, connWindowSize-defaultWindow)
}

// takeSettings takes a SETTINGS frame, its values in their order, and acknowledges it.
func (c *conn) takeSettings(h frameHeader, b []byte) error {
	switch {
	case h.stream != 0:
		return faultStreamZero
	case len(b)%6 != 0 || h.has(flagAck) && len(b) > 0:
		return faultSettingsSize
	case h.has(flagAck):
		if c.acked {
			return c.charge(costSettings)
		}
		c.acked = true
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	window := c.initialWindow
	for ; len(b) > 0; b = b[6:] {
		id, value := binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[2:])
		switch id {
		case settingHeaderTableSize:
			c.enc.SetPeerTableSize(value)
		case settingEnablePush, settingNoPriorities:
			if value > 1 {
				return faultSettings
			}
		case settingInitialWindow:
			if value > maxWindow {
				return faultWindowSet
			}
			window = int64(value)
		case settingMaxFrame:
			if value < 16<<10 || value > 1<<24-1 {
				return faultSettings
			}
		}
	}
	if err := c.setInitialWindow(window); err != nil {
		return err
	}
	if c.settled {
		if err := c.chargeLocked(costSettings); err != nil {
			return err
		}
	}
	c.settled = true
	c.append(appendFrameHeader(nil, 0, frameSettings, flagAck, 0))
	return nil
}
