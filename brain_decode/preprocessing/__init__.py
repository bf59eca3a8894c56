"""Steps from a raw signal to what a model sees; each states whether it is causal and what it is fitted on."""
