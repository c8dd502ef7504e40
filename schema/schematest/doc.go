// Package schematest is for tests of tables that become introspection data: whether each is an interface that D-Bus can have.
//
//	if err := schematest.Check(schema.Interface{Name: "org.example", Methods: methods}); err != nil {
//		t.Error(err)
//	}
package schematest
