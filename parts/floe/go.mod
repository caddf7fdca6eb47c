module weighthouse.dev/parts/floe

go 1.23.4

require snowflake.com/floe v0.0.0

require golang.org/x/crypto v0.35.0 // indirect
