package sandbox_test

// There are no calls that newer architectures don't have.
var deniedOld, deadlyOld []act
