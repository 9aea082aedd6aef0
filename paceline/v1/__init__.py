"""Messages and stubs of the contracts in protos/paceline/v1: generated, run `make proto`."""
