FROM --foo=bar scratch
