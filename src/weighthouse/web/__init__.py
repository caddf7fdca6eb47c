"""web: the console's frame and the one HTTP door.

Guards:   every room from the browser and the network: cross-site requests, framing, injected script, DNS rebinding,
          oversize bodies, forged peer addresses; and people from pages that say less than the truth.
From:     another site open in the same browser, a stolen form, text written to deceive an approver, an error message
          that leaks what the reader may not know.
Words:    door (turns a request into an open unit and an authenticated caller), guard (refuses what another site
          caused), frame (layout, navigation and banner around each page), problem (an RFC 9457 answer), nonce (marks
          the one script that a page may run), step-up (a fresh second factor, asked for where it is needed).
Promise:  every page and every form works without JavaScript, no page runs or fetches anything that this server did
          not ship, and no room reads a cookie, a header or a peer address by itself.
"""
