"""The clients under test, one file each: a `SUITE` of scenarios and the `Stage` they run on."""
